"""Keys, signatures, sealed boxes and the derivation of keys from a pairing code; all by PyNaCl and cryptography."""
