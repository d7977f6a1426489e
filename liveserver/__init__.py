"""liveserver: a self-hosted learning platform whose heart is the live class."""
