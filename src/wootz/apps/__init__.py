"""What needs several units: the chain of verbs on an archive, the demo, the report and the studies."""
