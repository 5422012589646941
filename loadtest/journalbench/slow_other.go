//go:build !linux

package main

import "context"

func measureSlow(context.Context, *options, string, string) (string, error) {
	return "### The same on a slow disk\n\nNot measured: it needs Linux.\n\n", nil
}
