package drills

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/loadtest/harness"
)

// table is the section of loadtest/RESULTS.md.
func (b *bill) table() string {
	var out strings.Builder
	versions := map[string]string{}
	for _, r := range b.rows {
		versions[r.kind] = family(r.server.Path) + " " + r.server.Version
	}
	fmt.Fprintf(&out, "%s to %s UTC, %s, %s. Times are those of the commands, in all.\n\n",
		b.began.UTC().Format("2006-01-02 15:04"), time.Now().UTC().Format("15:04"), harness.Machine(),
		b.load)
	out.WriteString("| incident | commands |")
	for _, kind := range servers {
		fmt.Fprintf(&out, " %s |", versions[kind])
	}
	out.WriteString(" exact | what told |\n|---|--:|--:|--:|--:|---|---|\n")
	for i := range drills {
		b.line(&out, &drills[i])
	}
	return out.String()
}

func family(path string) string {
	if strings.Contains(path, "valkey-server") {
		return "Valkey"
	}
	return "Redis"
}

// line is one incident on all servers.
func (b *bill) line(out *strings.Builder, d *drill) {
	var commands, times, told []string
	exact := "yes"
	for _, kind := range servers {
		for _, r := range b.rows {
			if r.drill.name != d.name || r.kind != kind {
				continue
			}
			if r.Failed() {
				exact = "no"
				times = append(times, "failed")
				continue
			}
			commands = append(commands, fmt.Sprint(r.commands))
			times = append(times, r.time())
			told = append(told, r.told...)
		}
	}
	slices.Sort(told)
	told = slices.Compact(told)
	slices.Sort(commands)
	commands = slices.Compact(commands)
	fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", d.name, strings.Join(commands, " to "),
		strings.Join(times, " | "), exact, strings.Join(told, ", "))
}

// time is how long the commands took, or the server's own way back; "-" where there was neither.
func (r *row) time() string {
	if r.took == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f s", r.took.Seconds())
}
