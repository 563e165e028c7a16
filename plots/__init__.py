"""Figures as papers print them. Everything drawn comes out of scores files; no number is computed here."""
