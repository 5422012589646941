package main

import (
	"os"
	"os/exec"
	"sync"
	"testing"

	"holdfast/loadtest/harness"
)

// A program is what a test runs as the proxy in a process of its own.
type program int

const (
	// plain is the proxy without the race detector, which makes a process several times as slow. It
	// is for tests that see the process from outside: they kill it, and look at data and files.
	plain program = iota
	// checked is this test program itself, with the race detector if the tests have it.
	checked
)

// beProxy makes this test program the proxy.
const beProxy = "HOLDFAST_TEST_BE_PROXY"

func TestMain(m *testing.M) {
	if os.Getenv(beProxy) != "" {
		main()
	}
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// builtIn is the folder of the plain proxy; "": nothing was built.
var builtIn string

// built returns the path of the plain proxy.
var built = sync.OnceValues(func() (path string, err error) {
	if builtIn, err = os.MkdirTemp("", "hfproxy"); err != nil {
		return "", err
	}
	return harness.BuildProxy(builtIn)
})

// command is a command line of the proxy.
func (p program) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if p == plain && raceEnabled {
		path, err := built()
		if err != nil {
			t.Fatal(err)
		}
		return exec.Command(path, args...)
	}
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), beProxy+"=1")
	return cmd
}
