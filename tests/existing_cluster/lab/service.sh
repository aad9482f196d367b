#!/bin/sh
# Read by the machines' first processes: what an init would do.

# service NAME COMMAND...: kept running by runit, its words in /var/log/NAME/current
service() {
    name=$1
    shift
    mkdir -p "/etc/sv/$name/log" "/var/log/$name"
    printf '#!/bin/sh\nexec 2>&1\n%s\nexec %s\n' "$wait" "$*" >"/etc/sv/$name/run"
    printf '#!/bin/sh\nexec svlogd -tt /var/log/%s\n' "$name" >"/etc/sv/$name/log/run"
    chmod 755 "/etc/sv/$name/run" "/etc/sv/$name/log/run"
}

run_services() { exec catatonit -- runsvdir -P /etc/sv; }
