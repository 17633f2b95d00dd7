"""What fastsr does with damaged files, full disks, sudden ends and many pictures: see docs/robustness.md."""
