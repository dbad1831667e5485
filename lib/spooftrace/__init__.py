"""spooftrace: speech deepfake detection and neural-codec source tracing."""

__version__ = "0.1.0"
