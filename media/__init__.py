"""The selective forwarding unit: packets in, the same packets out, never decoded.

Words of this package only: Room, Transport, Producer, Slot. It knows nobody of the product: its one
door is media/control.py.
"""
