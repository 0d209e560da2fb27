# Targets of scripts/test, which says more: scripts/test --help.

RELEASE ?= stable

.PHONY: test unit lint btrfs vm boot deb

test:
	scripts/test

unit:
	scripts/test unit $(PATTERN)

lint:
	scripts/test lint

# make btrfs [GROUP=locks [RELEASE=oldstable]]
btrfs:
	scripts/test btrfs $(if $(GROUP),'$(RELEASE)/$(GROUP)')

# make vm [SCENARIO=TestUpgrade/bios-grub]
vm:
	scripts/test vm $(SCENARIO)

# make boot SCENARIO=upgrade: leaves you in the virtual machine.
boot:
	scripts/vm $(SCENARIO)

deb:
	scripts/build-deb
