package harness

import (
	"os"
	"testing"
	"time"
)

func TestParseCPUTime(t *testing.T) {
	tests := []struct {
		name, stat string
		want       time.Duration
		ok         bool
	}{
		{"plain", "7 (proxy) S 1 7 7 0 -1 0 1 2 3 4 150 50 9 9 20 0", 2 * time.Second, true},
		{"name with parenthesis and spaces", "7 (a) b (c) S 1 7 7 0 -1 0 1 2 3 4 1 0 9 9 20",
			10 * time.Millisecond, true},
		{"no name", "7 proxy S 1", 0, false},
		{"cut off", "7 (proxy) S 1 7", 0, false},
		{"not a number", "7 (proxy) S 1 7 7 0 -1 0 1 2 3 4 x 50 9 9 20 0", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseCPUTime([]byte(tt.stat))
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("parseCPUTime = %v, %v; want %v, ok %v", got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestOwnProcess(t *testing.T) {
	pid := os.Getpid()
	if rss, err := RSS(pid); err != nil || rss < 1<<20 || rss > 1<<36 {
		t.Errorf("RSS = %d, %v", rss, err)
	}
	if d, err := CPUTime(pid); err != nil || d <= 0 || d > time.Hour {
		t.Errorf("CPUTime: %v, %v", d, err)
	}
	if n, err := OpenFiles(pid); err != nil || n < 3 {
		t.Errorf("OpenFiles = %d, %v", n, err)
	}
}
