package main

import (
	"os"
	"syscall"
)

// upgradeSignals start the next process.
var upgradeSignals = []os.Signal{syscall.SIGUSR2}
