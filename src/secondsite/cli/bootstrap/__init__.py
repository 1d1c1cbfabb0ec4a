"""How ``plan`` and ``apply`` work: ``order`` on the operator's machine, ``serve`` and ``phases`` on each host."""
