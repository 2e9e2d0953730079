"""Measures cardbot beside other ways to fill AI cards, against a simulated DingTalk and a scripted Dify.

    python -m benchmarks                                         # everything: some 13 minutes, two cores
    python -m benchmarks --only frames --answers 50              # one part, one size
    python -m benchmarks --markdown > table.md

The world (platform and Dify) runs in one process, the contender in another, so CPU time, memory and event-loop lag
are the contender's alone. Whoever is measured is asked over sockets only. Nothing here asserts a time.

| part | module | what it shows |
|---|---|---|
| `frames` | `frames` | N simultaneous answers: complete, rejected calls, staleness against the bound, delays, CPU |
| `shared` | `frames` | the same while another program of the app uses half of the quota |
| `calls` | `calls` | CPU for one streaming call, and connections opened, by client |
| `crowd` | `crowd` | 500 answers in one process: loop lag, memory, share of a core, where the time of an event goes |
"""
