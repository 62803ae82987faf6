"""What others plug in: FlashInfer, torch extensions, pytest. Each module is imported by who uses it."""
