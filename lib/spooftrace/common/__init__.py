"""What every room uses: standard library only, and nothing that takes time to import."""
