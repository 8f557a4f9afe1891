"""Run any image as Amazon SageMaker does, offline; never imports the code that runs in an image."""
