"""Text encoders: sentence-transformers reads, trains and saves them. Nothing else imports it."""
