//go:build !linux

package main

import "errors"

func diskAvailable() error { return errors.New("it needs Linux") }

func newDisk(string, bool) (disk, error) { return nil, diskAvailable() }
