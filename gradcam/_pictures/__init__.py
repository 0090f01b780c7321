"""Pictures: reading them, preparing network input, and drawing maps."""
