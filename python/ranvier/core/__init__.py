"""What everything else stands on: errors, dtypes, memory, what a thread is doing, the data of tensors, the tape."""
