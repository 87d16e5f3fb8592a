"""The picture of the CloudWatch dashboard: its template, drawn with what a run on this machine measured."""
