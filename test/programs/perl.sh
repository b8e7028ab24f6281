#!/bin/bash
#
# perl.sh - Perl: hashes and strings that grow, regular expressions, interpreter threads, fork.
#
# Compared: all it prints.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
need /usr/bin/perl perl

prepare()
{
    cat >work.pl <<'EOF'
use strict;
use warnings;
use threads;
use Thread::Queue;
use Digest::MD5 qw(md5_hex);
use List::Util qw(sum);

# Perl's own rand is the same sequence everywhere for one seed.
srand(42);

# Short and long strings under many keys; half of them deleted again, in another order.
my %words;
for my $i (1 .. 120_000) {
    my $key = md5_hex($i);
    $words{substr($key, 0, 5)} .= substr($key, 5, $i % 27);
}
delete $words{$_} for grep { /[02468ace]$/ } sort keys %words;
print "words ", scalar(keys %words), " ", md5_hex(join ',', map { "$_=$words{$_}" }
    sort keys %words), "\n";

# A string that grows by small steps is one long chain of realloc.
my $long = '';
$long .= chr(32 + int rand 90) x int(rand 9) for 1 .. 300_000;
print "long ", length $long, " ", md5_hex($long), "\n";
my %count;
$count{$1}++ while $long =~ /([A-Z]+[a-z])/g;
print "matches ", sum(values %count), " of ", scalar(keys %count), "\n";
(my $changed = $long) =~ s/([0-9])([A-Z])/$2$1$1/g;
print "changed ", md5_hex($changed), "\n";

# Each thread is a clone of the interpreter with all its data.
my $queue = Thread::Queue->new(1 .. 400);
$queue->end;
my @threads = map {
    threads->create(sub {
        my $sum = 0;
        while (defined(my $n = $queue->dequeue)) {
            my @list = map { $_ * $n } 1 .. 500;
            $sum += sum(sort { $b <=> $a } @list);
        }
        return $sum;
    });
} 1 .. 4;
print "threads ", sum(map { $_->join } @threads), "\n";

# Children that use what was allocated before the fork, and more.
my @pipes;
for my $child (1 .. 8) {
    pipe(my $reader, my $writer) or die "pipe: $!";
    my $pid = fork // die "fork: $!";
    if ($pid == 0) {
        print {$writer} md5_hex(join '', map { $words{$_} x $child } sort keys %words), "\n";
        close $writer;
        exit 0;
    }
    close $writer;
    push @pipes, [$pid, $reader];
}
for my $pipe (@pipes) {
    print "child ", readline $pipe->[1];
    waitpid $pipe->[0], 0;
    die "a child ended with $?" if $?;
}
EOF
}

session()
{
    prove /usr/bin/perl -e 'print join ",", 1 .. 10'
    under /usr/bin/perl "$XA_PROGRAMS_FOLDER/input/work.pl"
}

run_program
