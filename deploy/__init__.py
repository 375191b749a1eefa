"""The AWS platform: one stack an environment, one construct a concern, provable without an account."""

from deploy.node import use_node

use_node()
