#!/bin/bash
#
# java.sh - javac, then a Java program whose threads use direct buffers, zlib and NIO.
#
# The Java heap is not malloc's; direct buffers, zlib's state, compiler arenas, threads and class
# data are.  Compared: all the program prints, and the compiled classes.

source "$(dirname "${BASH_SOURCE[0]}")/lib/program.sh"
java_home=/usr/lib/jvm/java-17-openjdk-amd64
need $java_home/bin/javac openjdk-17-jdk-headless

prepare()
{
    cat >Work.java <<'EOF'
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.zip.CRC32;
import java.util.zip.Deflater;
import java.util.zip.Inflater;

public class Work {
    /** Direct buffers of all sizes, freed by the collector in any order. */
    static long buffers(int seed) {
        Random random = new Random(seed);
        ArrayDeque<ByteBuffer> live = new ArrayDeque<>();
        CRC32 crc = new CRC32();
        for (int i = 0; i < 15000; i++) {
            int size = 1 + random.nextInt(i % 100 == 0 ? 3000000 : 9000);
            ByteBuffer buffer = ByteBuffer.allocateDirect(size);
            for (int at = 0; at < buffer.capacity(); at += 512)
                buffer.put(at, (byte) (seed + at + i));
            live.add(buffer);
            if (live.size() > 60) {
                ByteBuffer oldest = live.remove();
                oldest.position(0);
                crc.update(oldest);
            }
        }
        return crc.getValue();
    }

    /** zlib's state is allocated with malloc for each Deflater and Inflater. */
    static long zlib(int seed) throws Exception {
        Random random = new Random(seed);
        CRC32 crc = new CRC32();
        for (int i = 0; i < 300; i++) {
            byte[] plain = new byte[2000 + random.nextInt(40000)];
            for (int at = 0; at < plain.length; at++)
                plain[at] = (byte) (random.nextInt(12) + 'a');
            byte[] packed = new byte[plain.length + 100];
            Deflater deflater = new Deflater(1 + i % 9);
            deflater.setInput(plain);
            deflater.finish();
            int length = deflater.deflate(packed);
            deflater.end();
            byte[] again = new byte[plain.length];
            Inflater inflater = new Inflater();
            inflater.setInput(packed, 0, length);
            if (inflater.inflate(again) != plain.length || !java.util.Arrays.equals(plain, again))
                throw new IllegalStateException("zlib gave other bytes back");
            inflater.end();
            crc.update(packed, 0, length);
        }
        return crc.getValue();
    }

    /** Threads that live for a moment each. */
    static long threads() throws Exception {
        long[] sums = new long[600];
        List<Thread> all = new ArrayList<>();
        for (int i = 0; i < sums.length; i++) {
            int me = i;
            Thread thread = new Thread(
                () -> sums[me] = ByteBuffer.allocateDirect(4096 + me).capacity());
            thread.start();
            all.add(thread);
            if (i % 16 == 15)
                for (Thread one : all)
                    one.join();
        }
        for (Thread one : all)
            one.join();
        return java.util.Arrays.stream(sums).sum();
    }

    static long file(Path path) throws Exception {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.CREATE,
                StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            ByteBuffer heap = ByteBuffer.wrap(new byte[5000000]);
            new Random(5).nextBytes(heap.array());
            while (heap.hasRemaining())
                channel.write(heap);
            CRC32 crc = new CRC32();
            crc.update(channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size()));
            return crc.getValue();
        }
    }

    public static void main(String[] arguments) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Callable<Long>> jobs = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            int seed = i;
            jobs.add(() -> buffers(seed));
            jobs.add(() -> zlib(seed));
        }
        for (Future<Long> result : pool.invokeAll(jobs))
            System.out.println("job " + result.get());
        pool.shutdown();
        System.out.println("threads " + threads());
        System.out.println("file " + file(Files.createTempFile(Path.of("."), "work", ".bin")));
    }
}
EOF
}

session()
{
    # Small heaps, so that buffers are collected often; no file in /tmp for performance data.
    local options=(-Xmx256m -XX:-UsePerfData -XX:MaxDirectMemorySize=256m)
    mkdir classes
    under $java_home/bin/javac "${options[@]/#/-J}" -d classes \
        "$XA_PROGRAMS_FOLDER/input/Work.java"
    digest classes/*.class
    prove $java_home/bin/java "${options[@]}" -version
    under $java_home/bin/java "${options[@]}" -cp classes Work
}

run_program
