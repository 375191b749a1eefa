"""What the scripts share that send events through a pipeline of their own."""
