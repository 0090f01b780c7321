"""What methods take and return: objectives and explanations."""
