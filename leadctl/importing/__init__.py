"""From a file of leads to events in the lead queue: the part of `leadctl import` that calls no AWS.

opening ── csv_table, json_lines, spreadsheet    a file's rows, and its `_invalid` file
columns, validation                              from a row to a lead with its key, or what is wrong with it
scratch, journal                                 what one call has seen; what all calls have sent
importer ── sending, following ── door           the loop; SQS and the ledger behind one small interface
preview                                          what a person reads before anything is sent
"""
