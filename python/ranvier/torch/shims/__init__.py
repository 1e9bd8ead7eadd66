"""What PyTorch has and Ranvier itself has not, a file for each of its modules."""
