package scratch

import (
	"errors"
	"fmt"
	"os/exec"
)

// ErrNoProgram says that there is no server program to start.
var ErrNoProgram = errors.New("no server program for a scratch server")

// programs are searched in PATH, in this order.
var programs = []string{"valkey-server", "redis-server"}

// find lists the programs to try.
func find(program string) ([]string, error) {
	if program != "" {
		path, err := exec.LookPath(program)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrNoProgram, err)
		}
		return []string{path}, nil
	}
	var found []string
	for _, p := range programs {
		if path, err := exec.LookPath(p); err == nil {
			found = append(found, path)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: neither valkey-server nor redis-server is in PATH; name one, or a "+
			"running server that is empty", ErrNoProgram)
	}
	return found, nil
}
