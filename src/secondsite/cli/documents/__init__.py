"""The JSON documents of the commands, as types. Within a major version keys are only added."""
