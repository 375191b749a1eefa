"""The AWS platform in CDK; imports nothing from the worker, shares its words."""
