"""What leads cost on AWS: list prices, a model of what is used, and the documents made of both."""
