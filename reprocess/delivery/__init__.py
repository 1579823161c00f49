"""Bringing events to those who subscribed to them: files, webhooks, topics and queues of Amazon."""
