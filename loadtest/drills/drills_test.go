package drills

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/loadtest/harness"
	"holdfast/proxy/proxytest"
)

// fullEnv makes the run that of `make drills`; its value is the file that gets the table, or "-".
const fullEnv = "HOLDFAST_DRILLS"

// program is the proxy.
var program string

// root is the repository's.
var root string

func rootPath(elem ...string) string { return filepath.Join(append([]string{root}, elem...)...) }

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	var err error
	if root, err = harness.Root(); err != nil {
		return fail(err)
	}
	dir, err := os.MkdirTemp("", "drills")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(dir)
	if program, err = harness.BuildProxy(dir); err != nil {
		return fail(err)
	}
	return m.Run()
}

// A drill is an incident of the table.
type drill struct {
	name    string
	section string // of docs/recovery.md
	play    func(*scene)
	disk    bool // needs a disk that can be full: not in the short form
}

// Titles of the page that have more than one drill.
const (
	lostSection     = "The server came back without writes"
	backupSection   = "Every server is down, and backups disagree"
	damageSection   = "The journal is damaged"
	failoverSection = "After a failover"
	diskSection     = "The server cannot write its files"
)

// drills in the order of the table.
var drills = []drill{
	{name: "FLUSHALL burst, with a trash rule", section: "The data was flushed: undo it",
		play: flushedWithTrash},
	{name: "FLUSHALL burst, without", section: "The data was flushed", play: flushedWithout},
	{name: "200 keys broken by a script, an hour of writes since", section: "Something wrong was written",
		play: aScriptBreaksKeys},
	{name: "primary back empty", section: lostSection, play: cameEmpty},
	{name: "the same, and a lost key was written again since", section: lostSection,
		play: cameEmptyAndConflicts},
	{name: "primary back empty, repaired on the console", section: lostSection,
		play: cameEmptyAndConsole},
	{name: "primary back from an old RDB file", section: lostSection, play: cameFromOldRDB},
	{name: "primary back from an append-only file without its end", section: lostSection,
		play: cameFromCutAOF},
	{name: "primary back cleanly", section: lostSection, play: cameCleanly},
	{name: "primary back from its append-only file, counters behind the mark",
		section: "Whether it lost writes is in question", play: inQuestion},
	{name: "the same, and the last of them did not reach the disk",
		section: "Whether it lost writes is in question", play: inQuestionAndLost},
	{name: "payments through kill -9 of the primary", section: lostSection, play: paymentsThroughKill},
	{name: "primary gone for good", section: "The server is gone", play: gone},
	{name: "replica promoted too early", section: failoverSection, play: promotedEarly},
	{name: "old primary back as a replica", section: failoverSection, play: oldPrimaryBack},
	{name: "rewrite of the append-only file fails on a full disk", section: diskSection,
		play: rewriteFailsAndHeals, disk: true},
	{name: "the same, and the server does not start again", section: diskSection,
		play: rewriteFailsAndBreaks, disk: true},
	{name: "the same, and the server is killed before there is room", section: lostSection,
		play: rewriteFailsAndRestarts, disk: true},
	{name: "disk full under the journal, under load", section: "The journal's disk is full",
		play: journalDiskFull, disk: true},
	{name: "backup older than the replica, both down", section: backupSection, play: backupsDisagree},
	{name: "newest backup damaged", section: backupSection, play: backupDamaged},
	{name: "newest base damaged", section: damageSection, play: baseDamaged},
	{name: "segment damaged", section: damageSection, play: segmentDamaged},
	{name: "a bit of a value turned over in the server's memory",
		section: "A value has changed without a command", play: silentCorruption},
}

// servers are those of the full form.
var servers = []string{"valkey9", "valkey", "redis"}

// TestDrills plays all incidents, then compares the page's messages with the output, and in the
// full form writes the table.
func TestDrills(t *testing.T) {
	book, err := ReadRunbook(rootPath("docs", "recovery.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme, err := ReadRunbook(rootPath("README.md"))
	if err != nil {
		t.Fatal(err)
	}
	incident, err := readme.Section("Recover in one command")
	if err != nil {
		t.Fatal(err)
	}
	full, kinds := os.Getenv(fullEnv) != "", []string{""}
	if full {
		kinds = servers
	}
	b, due := &bill{began: time.Now(), load: harness.Load(), ran: map[string]bool{}}, 0
	t.Run("play", func(t *testing.T) {
		for _, d := range drills {
			for _, kind := range kinds {
				if d.disk && !full {
					continue
				}
				due++
				t.Run(strings.TrimSuffix(d.name+"/"+kind, "/"), func(t *testing.T) {
					if !full {
						t.Parallel()
					}
					b.play(t, book, incident, &d, kind, full)
				})
			}
		}
	})
	if len(b.rows) < due {
		return // with -run not all of them were played
	}
	if !t.Failed() {
		b.comparePage(t, book, full)
		b.compare(t, incident)
	}
	if file := os.Getenv(fullEnv); full && file != harness.NoResults {
		if err := harness.WriteSection(file, "drills", b.table()); err != nil {
			t.Error(err)
		}
	}
}

// A bill is the outcome of a run.
type bill struct {
	began time.Time
	load  string // of the machine then

	mu   sync.Mutex
	rows []row
	said []string
	ran  map[string]bool // commands of the page
}

// A row is a drill on one server.
type row struct {
	drill  *drill
	server proxytest.Binary
	*scene
}

func (b *bill) play(t *testing.T, book *Runbook, readme *Section, d *drill, kind string, full bool) {
	at, err := book.Section(d.section)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "drill") // messages name it, and t.TempDir has the incident's name in it
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &scene{T: t, kind: kind, full: full, at: at, readme: readme, dir: dir,
		ran: map[string]bool{}}
	defer b.enter(row{d, proxytest.Find(t, kind), s}) // also one that ends in the middle
	d.play(s)
	if s.proxy != nil {
		s.heard(s.log())
	}
	if !s.exact {
		t.Error("the drill compared nothing")
	}
}

// enter takes a drill that has ended.
func (b *bill) enter(r row) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rows = append(b.rows, r)
	b.said = append(b.said, r.said...)
	for line := range r.ran {
		b.ran[line] = true
	}
}

// comparePage requires that each message of the page was said in some drill, and each command run. In
// the short form that is for sections whose drills were all played.
func (b *bill) comparePage(t *testing.T, book *Runbook, full bool) {
	for _, section := range book.Sections {
		played := func(d drill) bool { return d.section == section.Title && (full || !d.disk) }
		skipped := func(d drill) bool { return d.section == section.Title && !full && d.disk }
		if !slices.ContainsFunc(drills, played) || slices.ContainsFunc(drills, skipped) {
			continue
		}
		b.compare(t, section)
	}
}

func (b *bill) compare(t *testing.T, section *Section) {
	for _, m := range section.Messages {
		if !Shows(b.said, m) {
			t.Errorf("section %q: no drill was told\n%s\nThe nearest to its form,\n%s\nis\n%s",
				section.Title, m, Shape(m), Nearest(b.said, m))
		}
	}
	for _, c := range section.Commands {
		if !b.ran[c] {
			t.Errorf("section %q: no drill runs %q", section.Title, c)
		}
	}
}
