//go:build !linux

package main

import "os"

// upgradeSignals is empty: only Linux hands sockets over.
var upgradeSignals []os.Signal
