"""What plays a drill of `pcg.cli.drills`. Start reading at drill.py."""
