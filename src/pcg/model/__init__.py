"""The vocabulary of the product as frozen types and pure rules; no input or output."""
