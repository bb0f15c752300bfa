"""A tree for another architecture than this machine's (docs/cross.md). The parts, in the order in which they are used:

1. `crossing`    for which architecture each part of a tree is made; what a plan asks first
2. `emulation`   how a command gets the target's programs to run, where a stage wants that; `emulated` is that command
3. `twin`        the steps: the target's packages are taken apart (`build/debs.py`), and the twin's tree is grafted
4. `graft`       the graft as a program of its own, which runs where the tree's owners are what they are:
   `owned`       what packages own gets the target's files,
   `rest`        what nobody owns gets the target's names,
   `database`    what dpkg and apt know of it is rewritten,
   `libcache`    the cache of libraries is made anew,
   `proof`       and no file that the target cannot run is left

Below them: `dpkg` (its database as text) and `rooted` (paths inside of a tree). What other builds use as well lies in
`build/`: packages that are taken apart (`debs`), ELF files (`elf`).
"""
