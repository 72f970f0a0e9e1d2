"""Shows on a model and data of your choice that watching changes nothing and that every promised tag arrives.

Two steps are trained without us, again without us, with each callback alone and with all of them; then what was written
is read back.

- `material`: the model and the samples, of the demo or your own.
- `trial`: one short training, and what it left behind.
- `promises`: which tags a trial owes.
- `validate`: the trials in a row, and what each one showed.
"""
