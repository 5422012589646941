package policy

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"holdfast/proxy/proxytest"
)

var update = flag.Bool("update", false, "rewrite docs/commands.md")

// Every command that some server lists as a write is in effects.txt, with all effects in the server's
// description. A new one needs a decision: its effects, the rules that cover it, and whether it can
// go to the trash.
func TestEveryWriteIsKnown(t *testing.T) {
	for _, bin := range proxytest.Matrix(t) {
		t.Run(bin.String(), func(t *testing.T) {
			t.Parallel()
			table := tableOver(t, proxytest.Spec{Kind: bin.Kind}.Start(t), 2)
			for _, cmd := range table.All()[1:] {
				k, known := knownEffects()[cmd.Name]
				if !cmd.Flags.Has(FlagWrite) {
					continue
				}
				since := k.Redis
				if strings.HasPrefix(bin.Kind, "valkey") {
					since = k.Valkey
				}
				if !known || since == "" {
					t.Errorf("%s is not in effects.txt", cmd.Name)
					continue
				}
				if more := cmd.Effects &^ k.Effects; more != 0 && !cmd.Flags.Has(FlagModule) {
					t.Errorf("%s: the server says %v, and effects.txt has no %v", cmd.Name,
						cmd.Effects, more)
				}
			}
			for _, cmd := range table.Unforeseen() {
				t.Errorf("%s is unforeseen", cmd.Name)
			}
		})
	}
}

// A command of a newer server is named, and the server's description of its keys is trusted.
func TestUnforeseen(t *testing.T) {
	table, err := parseBuiltin("newdel\t-2\tgeneric\twrite\t@write\tRM; index 1; range 0 1 0\n" +
		"newget\t-2\tgeneric\treadonly\t@read\tRO; index 1; range 0 1 0\n" +
		"del\t-2\tgeneric\twrite\t@write\tRM; index 1; range -1 1 0\n")
	if err != nil {
		t.Fatal(err)
	}
	list := table.Unforeseen()
	if len(list) != 1 || list[0].Name != "newdel" || !list[0].Effects.Has(EffectDelete) {
		t.Errorf("got %+v", list)
	}
}

// docs/commands.md is the table for users.
func TestCommandsDocument(t *testing.T) {
	const file = "../docs/commands.md"
	want := commandsDocument()
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil || string(got) != want {
		t.Errorf("docs/commands.md is not what effects.txt makes (%v): "+
			"go test ./policy -run TestCommandsDocument -update", err)
	}
}

func commandsDocument() string {
	var b strings.Builder
	b.WriteString(`# Commands that change data

Made from policy/effects.txt by a test; do not edit. The columns Redis and Valkey say in which version a command appeared.
` + "`proxy check`" + ` names the commands of your server that rules for DEL or FLUSHALL leave open, and those that this table does not have.

| effect | what it means |
|---|---|
| delete | whole keys are deleted |
| overwrite | a value takes the place of another |
| shrink | parts of a value go, and the key with the last of them |
| expire | a key gets a deadline, which may be in the past: a rule for DEL covers that |
| move | a key goes to another place |
| flush | all keys of a database, of a slot or of all databases are deleted |
| swap | databases change places |
| replace | another data set takes the place of this one |
| script, code | code runs; code is loaded, replaced or dropped |
| admin | the server's state, its rules or its machine |
| stall | the server stands still for as long as it takes |

A rule that restricts one of these commands restricts what newer servers have for it as well: `)
	var names []string
	for _, k := range allKnownEffects() {
		if list := twins[k.Name]; list != nil {
			names = append(names, fmt.Sprintf("%s (%s)", spell(k.Name), spell(strings.Join(list, ", "))))
		}
	}
	b.WriteString(strings.Join(names, ", ") + ".\n\n| command | Redis | Valkey | effects | covered by a rule for | trash |\n|---|---|---|---|---|---|\n")
	for _, k := range allKnownEffects() {
		effects := strings.ReplaceAll(k.Effects.String(), ",", ", ")
		if effects == "" {
			effects = "adds or changes"
		}
		past, trash := "", ""
		cmd := &Command{Name: k.Name, Effects: k.Effects}
		if pastWhen[k.Name] != nil {
			past = spell(cmd.pastIs()) + ", with a time in the past"
		}
		for name, list := range twins {
			for _, twin := range list {
				if twin == k.Name && name != "slaveof" && name != "psync" {
					past = spell(name)
				}
			}
		}
		if trashable[k.Name] {
			trash = "yes"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %s |\n", spell(k.Name), k.Redis, k.Valkey, effects,
			past, trash)
	}
	return b.String()
}

func spell(name string) string { return strings.ToUpper(strings.ReplaceAll(name, "|", " ")) }

func TestFieldsInThePast(t *testing.T) {
	p := mustNew(t, Options{Rules: parseRules(t, "no: deny hdel del mset")})
	for line, want := range map[string]Action{
		"HGETEX k PXAT 1 FIELDS 1 f": Deny, "HGETEX k FIELDS 1 f PXAT 1": Deny,
		"HGETEX k FIELDS 2 exat 1": Allow, "HGETEX k EX 10 FIELDS 1 f": Allow,
		"HSETEX k FIELDS 1 pxat 1": Allow, "HSETEX k FNX EXAT 1 FIELDS 1 f v": Deny,
		"HEXPIRE k 0 FIELDS 1 f": Deny, "HPEXPIRE k 10 FIELDS 1 f": Allow,
		"HPEXPIREAT k 1 FIELDS 1 f": Deny, "HGETDEL k FIELDS 1 f": Deny, "DELIFEQ k v": Deny,
		"MSETEX 1 k v": Deny, "HSET k f v": Allow, "SET k v PXAT 1": Deny,
	} {
		args := split(line)
		if got := p.Decide(&Request{Cmd: p.Table().Lookup(args), Args: args, Now: testNow}).Action; got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
	p = mustNew(t, Options{Rules: parseRules(t, "no: deny del")})
	for line, want := range map[string]Action{
		"MSETEX 2 k v pxat 1": Allow, "MSETEX 1 k v PXAT 1": Deny, "MSETEX 2 a b c d NX EXAT 1": Deny,
		"MSETEX 1 k v EX 1": Allow, "HGETEX k PXAT 1 FIELDS 1 f": Allow,
	} {
		args := split(line)
		if got := p.Decide(&Request{Cmd: p.Table().Lookup(args), Args: args, Now: testNow}).Action; got != want {
			t.Errorf("%s: %v, want %v", line, got, want)
		}
	}
}

// allKnownEffects lists the known commands by name.
func allKnownEffects() []KnownEffects {
	var all []KnownEffects
	for _, k := range knownEffects() {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b KnownEffects) int { return strings.Compare(a.Name, b.Name) })
	return all
}
