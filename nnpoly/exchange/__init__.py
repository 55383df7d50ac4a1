"""Models in and out: ONNX, C, torch, Keras and scikit-learn, each with its proof."""
