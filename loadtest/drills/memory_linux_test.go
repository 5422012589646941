package drills

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
)

// flipInMemory turns one bit of a value over where it stands in a process's memory, in each copy of it,
// as a memory chip may.
func flipInMemory(pid int, value []byte) error {
	maps, err := os.Open(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return err
	}
	defer maps.Close()
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", pid), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	found := 0
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var rights string
		line := lines.Text()
		if strings.Contains(line, "[v") { // vdso and the like, at addresses of their own
			continue
		}
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); err != nil {
			return fmt.Errorf("%s: %w", line, err)
		}
		if !strings.HasPrefix(rights, "rw") {
			continue
		}
		n, err := flipWithin(mem, from, to, value)
		if err != nil {
			return err
		}
		found += n
	}
	if found == 0 {
		return fmt.Errorf("the value is nowhere in the memory of process %d", pid)
	}
	return nil
}

func flipWithin(mem *os.File, from, to int64, value []byte) (found int, err error) {
	piece := make([]byte, 1<<20)
	for at := from; at < to; at += int64(len(piece) - len(value)) {
		n, err := mem.ReadAt(piece[:min(int64(len(piece)), to-at)], at)
		if err != nil && err != io.EOF {
			return found, nil // not there any more
		}
		for i := 0; ; i++ {
			next := bytes.Index(piece[i:n], value)
			if next < 0 {
				break
			}
			i += next
			spot := at + int64(i+len(value)/2)
			if _, err := mem.WriteAt([]byte{value[len(value)/2] ^ 1}, spot); err != nil {
				return found, err
			}
			found++
		}
	}
	return found, nil
}
