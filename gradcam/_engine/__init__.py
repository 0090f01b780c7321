"""Networks and passes through them: layers, the network, tapes, single layers."""
