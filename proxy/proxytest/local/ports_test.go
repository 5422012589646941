package local

import "testing"

// A port is given again only after all others of the range, and never while something listens there.
func TestPortsAreGivenInTurn(t *testing.T) {
	turn := map[int]int{}
	for i := range 2 * portRange {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		if before, again := turn[port]; again && i-before < portRange/2 {
			t.Fatalf("port %d is given at %d and again at %d", port, before, i)
		}
		turn[port] = i
	}
}
