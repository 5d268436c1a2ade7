"""A command component written in Python: prints its arguments, its environment and a little sum.

`componentize-py` makes python-component.wasm of it (guests/fetch). Of each argument that is a path it
counts the words.
"""

import os
import sys

import wit_world.exports


class Run(wit_world.exports.Run):
    def run(self) -> None:
        print(f"hello from Python {sys.version.split()[0]} in a component")
        print("arguments", sys.argv)
        for name in sorted(os.environ):
            print(f"{name}={os.environ[name]}")
        print("sum", sum(number * number for number in range(1000)))
        for path in sys.argv[1:]:
            with open(path) as file:
                print(path, len(file.read().split()), "words")
