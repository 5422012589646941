package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestGroupMemory(t *testing.T) {
	t.Parallel()
	const self = "proc/self/cgroup"
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no control groups", nil, 0},
		{"version 1", map[string]string{
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "1073741824\n"}, 1 << 30},
		{"version 1 without a limit", map[string]string{
			"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 0},
		{"version 2, in a container", map[string]string{
			self: "0::/\n", "sys/fs/cgroup/memory.max": "536870912\n"}, 512 << 20},
		{"version 2, a service", map[string]string{
			self: "1:name=systemd:/x\n0::/system.slice/h.service\n",
			"sys/fs/cgroup/system.slice/h.service/memory.max": "max\n",
			"sys/fs/cgroup/system.slice/memory.max":           "2147483648\n"}, 2 << 30},
		{"the least counts", map[string]string{
			self:                           "0::/a/b\n",
			"sys/fs/cgroup/a/b/memory.max": "4096\n",
			"sys/fs/cgroup/a/memory.max":   "8192\n"}, 4096},
		{"nonsense", map[string]string{
			self: "0::/a\n", "sys/fs/cgroup/a/memory.max": "-5\n"}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			root := t.TempDir()
			for name, text := range tc.files {
				file := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if got := groupMemory(root); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

func TestMemoryLimit(t *testing.T) {
	t.Parallel()
	if got := memoryLimit(5); got != 5 {
		t.Errorf("a configured limit became %d", got)
	}
	if got := memoryLimit(0); got < 1<<20 {
		t.Errorf("half of the machine is %d bytes", got)
	}
}
