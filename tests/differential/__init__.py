"""The service beside a stock aiosmtpd: the same dialogues, the same replies, hooks and mails, but for a table of rules.

    dialogues    random dialogues, from the words of `words`
    stock        aiosmtpd's `SMTP`, unchanged, on a transport in memory
    service      our service, every event handled by another worker
    compare      one dialogue on both, line by line, and on ours once more in random pieces
    reference    a second, simple reading of the RFCs that judges every reply, with `rfc`
    rules        the deliberate differences, each with its reason and an example
    shrink       the smallest dialogue that still shows a difference
    roadrunner   the same streams against the real server
    model        many clients while stores fail, sessions expire and workers die (`world`, `faults`), beside `reference`

`python -m tests.differential --dialogues 10000` compares, `python -m tests.differential.model --minutes 30` fuzzes.
"""
