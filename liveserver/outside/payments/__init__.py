"""Payment providers: who takes the money. Each is a `PaymentProvider` of liveserver/services/payments.py."""
