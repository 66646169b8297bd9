"""Motions: pictures that move where moving teaches; each is computed by the library as it is drawn."""
