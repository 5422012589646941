package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"holdfast/loadtest/harness"
	"holdfast/proxy/proxytest"
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
	segmentBytes = harness.SegmentBytes
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

// The linker ignores a variable that is not there, and tests of large segments differ from others in their time alone.
func TestProgramsHaveSmallSegments(t *testing.T) {
	t.Parallel()
	for name, program := range map[string]program{"plain": plain, "checked": checked} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := proxytest.Spec{Args: recordedArgs}.Start(t)
			p := newProcess(t, program, srv.Addr, recordingConfig)
			p.start()
			p.awaitAnswer()
			files, err := filepath.Glob(filepath.Join(p.folder(), "*.seg"))
			if err != nil || len(files) == 0 {
				t.Fatalf("segments %v, %v", files, err)
			}
			for _, file := range files {
				if st, err := os.Stat(file); err != nil || strconv.FormatInt(st.Size(), 10) != harness.SegmentBytes {
					t.Errorf("%s has %v bytes, %v, want %s", file, st.Size(), err, harness.SegmentBytes)
				}
			}
		})
	}
}
