package docs

// Place says where the tests run a command of an sh block.
type Place struct {
	Script  bool     // tests/script, on the fake machine
	Before  []string // lines of a script that prepare the fake machine for the command
	Machine bool     // tests/btrfs, on a Debian root on a loop image
	// Elsewhere names the test that runs the command in another form, or the reason why
	// no test does. Such a command is only checked.
	Elsewhere string
}

// Places has all commands of sh blocks.
var Places = map[string]Place{
	// README.md
	"sudo apt-get install ./apt-be_*.deb":             {Machine: true},
	"sudo apt-be init":                                {Elsewhere: "changes a boot loader: tests/vm TestLayouts"},
	"sudo apt-get dist-upgrade":                       {Machine: true},
	"sudo reboot":                                     {Elsewhere: "needs a boot loader: tests/vm TestUpgrade"},
	"sudo apt-be list":                                {Script: true, Machine: true},
	"sudo apt-be diff --packages NAME":                {Script: true, Machine: true},
	"sudo apt-be drift":                               {Script: true, Machine: true},
	"sudo apt-be sync":                                {Script: true, Machine: true},
	"sudo apt-be plan NAME":                           {Script: true},
	"sudo apt-be activate NAME --now":                 {Elsewhere: "leaves the running system: tests/vm TestMethods"},
	"sudo apt-be rollback":                            {Script: true},
	"sudo apt-be deactivate":                          {Script: true},
	"sudo apt-be doctor":                              {Elsewhere: "examines a boot loader: tests/vm TestLayouts"},
	"sudo systemctl stop dovecot postfix":             {Elsewhere: "these services are an example"},
	"sudo apt-be share add /var/mail":                 {Script: true, Machine: true},
	"sudo apt-be share list":                          {Script: true, Machine: true},
	"sudo apt-be share remove /var/mail":              {Script: true, Machine: true},
	"sudo apt-be share restore /var/mail --from NAME": {Script: true, Before: []string{"exec apt-be destroy NAME old", "exec apt-be --accept-risk delete-share share remove var-mail", "exec apt-be share add /var/mail", "exec apt-be create NAME", "exec machine leave-for NAME"}},

	// CONTRIBUTING.md
	"make unit":                                    {Elsewhere: "is the tier in which this test runs"},
	"make unit PATTERN=internal/be":                {Elsewhere: "is a part of the tier in which this test runs"},
	"make unit PATTERN=internal/cli":               {Elsewhere: "is a part of the tier in which this test runs"},
	"make unit PATTERN=TestScripts/origin":         {Elsewhere: "TestWorkedExamples runs this script"},
	"make lint":                                    {Elsewhere: "takes a minute: CI runs it"},
	"make deb":                                     {Elsewhere: "takes minutes: scripts/test runs it"},
	"sudo apt-be health":                           {Elsewhere: "examines the services of the machine: tests/vm TestSabotage"},
	"scripts/vm --list":                            {Script: true},
	"sudo make btrfs GROUP=locks":                  {Elsewhere: "takes minutes: scripts/test runs this group"},
	"sudo make vm SCENARIO=TestLayouts/bios-grub":  {Elsewhere: "takes minutes: scripts/test runs this test"},
	"sudo make vm SCENARIO=TestUpgrade/bios-grub":  {Elsewhere: "takes minutes: scripts/test --nightly runs this test"},
	"sudo make vm SCENARIO=TestSabotage/bios-grub": {Elsewhere: "takes minutes: scripts/test --nightly runs this test"},
	"sudo make vm SCENARIO=TestStatus":             {Elsewhere: "takes minutes: TestWorkedExamples compiles this test"},
	"sudo scripts/test":                            {Elsewhere: "CI runs it"},
	"sudo scripts/test --nightly":                  {Elsewhere: "takes hours"},
	"sudo scripts/vm upgrade/bios-grub 'apt-be create new' 'apt-be activate new' reboot 'apt-be status'": {Elsewhere: "takes minutes and a terminal"},
	"echo 'apt-be list' | sudo scripts/vm upgrade/bios-grub":                                             {Elsewhere: "takes minutes"},

	// docs, tests/vm
	"sudo go test ./tests/btrfs -run '^$' -bench BenchmarkRedirect -benchtime 9x":       {Elsewhere: "takes minutes"},
	"sudo go test ./tests/btrfs -run '^$' -bench BenchmarkSync":                         {Elsewhere: "takes minutes"},
	"go run ./tests/vm/downtime":                                                        {Elsewhere: "takes half an hour"},
	"sudo scripts/vm upgrade/bios-grub":                                                 {Elsewhere: "takes minutes and a terminal"},
	"sudo go test ./tests/vm -run TestLayouts/bios-grub -v -timeout 30m -nightly":       {Elsewhere: "takes minutes: scripts/test runs this test"},
	"sudo go run ./tests/vm/boot uefi-sdboot":                                           {Elsewhere: "takes minutes and a terminal"},
	"sudo go run ./tests/vm/boot bios-grub 'apt-be init -y' reboot 'apt-be status' end": {Elsewhere: "takes minutes"},

	// dpkgpatch
	"sudo dpkgpatch/build":                                  {Elsewhere: "builds dpkg: tests/btrfs TestSkipUnchanged runs it with -nightly"},
	"sudo dpkgpatch/build --check stable":                   {Elsewhere: "builds and tests dpkg"},
	"sudo dpkgpatch/build --update --check oldstable":       {Elsewhere: "builds and tests dpkg"},
	"sudo go test ./tests/btrfs -run TestSkipUnchanged":     {Elsewhere: "takes minutes: scripts/test runs this test"},
	"export QUILT_PATCHES=…/dpkgpatch/patches":              {Elsewhere: "needs dpkg's source"},
	"quilt push --fuzz=3":                                   {Elsewhere: "needs dpkg's source"},
	"quilt refresh -U 1 -p ab --no-index --no-timestamps":   {Elsewhere: "needs dpkg's source"},
	"make OUT=build":                                        {Elsewhere: "scripts/build-deb runs it with another directory"},
	"apt-get -o Dir::Bin::dpkg=$PWD/build/skip-unchanged …": {Elsewhere: "is an example without a command of apt-get"},
}
