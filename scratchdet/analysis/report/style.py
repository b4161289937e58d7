"""How the report looks: one column, the reader's own fonts, light or dark as their system is."""

STYLE = """
:root{color-scheme:light dark;--paper:#fff;--tint:#f5f6f8;--ink:#1b2026;--soft:#57616c;
--line:#e2e5e9;--link:#0b5cad;--heat:0,94,170;
--c0:#0b69b7;--c1:#c9510c;--c2:#00805c;--c3:#a2407f;--c4:#a87100;--c5:#59636e;--grey:#b6bdc5;
--ok:#00805c;--bad:#c9510c}
@media(prefers-color-scheme:dark){:root{--paper:#13161a;--tint:#1b1f25;--ink:#e4e7ea;
--soft:#9aa5b1;--line:#2c323a;--link:#7cb8f5;--heat:86,160,233;
--c0:#5aaef0;--c1:#ff8b4d;--c2:#35c99a;--c3:#e58fc6;--c4:#eab03c;--c5:#aab4be;--grey:#57606a;
--ok:#35c99a;--bad:#ff8b4d}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-padding-top:1rem}
body{margin:0;overflow-wrap:anywhere;background:var(--paper);color:var(--ink);
font:16px/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main,header,footer{max-width:62rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.5rem}
footer{padding:2.5rem 1.25rem 4rem;color:var(--soft);font-size:.875rem}
h1{font-size:1.05rem;font-weight:600;margin:0;color:var(--soft)}
h2{font-size:1.5rem;line-height:1.25;font-weight:650;letter-spacing:-.012em;margin:0 0 .5rem}
h3{font-size:1.05rem;font-weight:650;margin:2.25rem 0 .25rem}
p{margin:.5rem 0;max-width:44rem}
section{margin-top:3.5rem;padding-top:2rem;border-top:1px solid var(--line)}
a{color:var(--link);text-decoration-thickness:1px;text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--link);outline-offset:2px;border-radius:3px}
code,pre{font:.875em/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace}
pre{background:var(--tint);border-radius:8px;padding:.9rem 1rem;overflow-x:auto;margin:.75rem 0}
.soft,.note{color:var(--soft)}
.note{font-size:.875rem}
.note code{white-space:nowrap}
.verdict{display:flex;flex-wrap:wrap;align-items:baseline;gap:.25rem 1rem;margin:.75rem 0 0}
.verdict strong{font-size:clamp(3rem,12vw,4.5rem);line-height:1.05;font-weight:650;
letter-spacing:-.03em;font-variant-numeric:tabular-nums}
.verdict span{color:var(--soft)}
.lead{font-size:1.125rem;line-height:1.55;margin:.5rem 0 0}
.range{position:relative;display:block;height:1.1rem;min-width:9rem}
td:has(>.range){width:14rem}
.range::before{content:"";position:absolute;left:0;right:0;top:50%;height:1px;
background:var(--line)}
.range i{position:absolute;top:calc(50% - 3px);height:6px;border-radius:3px;background:var(--c0);
opacity:.4}
.range b{position:absolute;top:calc(50% - 5px);width:10px;height:10px;margin-left:-5px;
border-radius:50%;background:var(--c0);border:2px solid var(--paper)}
header .range{max-width:30rem;margin-top:1rem}
.scale{display:flex;justify-content:space-between;max-width:30rem;color:var(--soft);
font-size:.8125rem;font-variant-numeric:tabular-nums}
dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(max(9rem,21%),1fr));
gap:1.1rem 1.25rem;margin:2rem 0 0}
dl div{border-top:1px solid var(--line);padding-top:.5rem}
dt{color:var(--soft);font-size:.8125rem}
dd{margin:0}
nav ul{display:flex;flex-wrap:wrap;gap:.25rem 1.25rem;list-style:none;padding:0;margin:2rem 0 0;
font-size:.9375rem}
ul.plain{padding-left:1.1rem;margin:.5rem 0;max-width:46rem}
ul.plain li{margin:.35rem 0}
.wide{overflow-x:auto;margin:.75rem 0 0;
background:linear-gradient(to right,var(--paper) 40%,transparent) left/2.5rem 100% no-repeat local,
linear-gradient(to left,var(--paper) 40%,transparent) right/2.5rem 100% no-repeat local,
linear-gradient(to right,var(--line),transparent) left/.6rem 100% no-repeat scroll,
linear-gradient(to left,var(--line),transparent) right/.6rem 100% no-repeat scroll}
table{border-collapse:collapse;font-size:.9375rem;font-variant-numeric:tabular-nums}
th,td{padding:.4rem 1.1rem .4rem 0;text-align:left;border-bottom:1px solid var(--line);
font-weight:400;vertical-align:middle;overflow-wrap:normal}
td{white-space:nowrap}
td:has(code){white-space:normal;min-width:12rem;overflow-wrap:anywhere}
thead th{color:var(--soft);font-size:.8125rem;white-space:nowrap}
tbody th{min-width:7rem;max-width:16rem;overflow-wrap:break-word}
.number{text-align:right;white-space:nowrap}
.totals th,.totals td{font-weight:600}
.bar{display:block;height:.7rem;border-radius:2px;background:var(--c0);min-width:1px}
.bar.c1{background:var(--c1)}
td:has(>.bar){width:9rem;min-width:7rem}
.matrix td{text-align:right;padding:.5rem .7rem;border:2px solid var(--paper);min-width:3.6rem}
.matrix th{padding-right:.75rem;border:0}
.matrix thead th{text-align:right;padding:.25rem .7rem}
.matrix td:first-child{padding-left:0;text-align:left}
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));
gap:2rem 2.5rem;margin:1.5rem 0}
figure{margin:0;min-width:0}
figcaption{font-weight:600;font-size:.9375rem}
.chart svg{display:block;width:100%;height:auto;margin-top:.35rem}
.chart text{fill:var(--soft);font-size:12px;font-variant-numeric:tabular-nums}
.at-left,.at-end{text-anchor:end}
.below{text-anchor:middle}
.grid{stroke:var(--line);stroke-width:1}
.line{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.line.faint{opacity:.28;stroke-width:1}
.line.dashed{stroke-dasharray:5 4}
.line.heavy{stroke-width:2.6;stroke:var(--ink)}
.band{opacity:.16}
.mark{stroke:var(--paper);stroke-width:1}
.legend{min-height:1.3rem;display:flex;flex-wrap:wrap;gap:.1rem 1rem;color:var(--soft);
font-size:.8125rem}
.swatch{display:inline-block;width:1rem;height:0;border-top:3px solid;border-radius:2px;
margin-right:.4rem;vertical-align:.25em}
.swatch.dashed{border-top-style:dashed}
.swatch.heavy{border-color:var(--ink)}
.plot svg{display:block;width:100%;height:auto;background:#fff;border-radius:6px}
@media(prefers-color-scheme:dark){.plot svg{filter:invert(.92) hue-rotate(180deg)}}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));
gap:1.5rem 1.75rem;margin:.75rem 0}
.crops{display:grid;grid-template-columns:repeat(auto-fill,minmax(8.5rem,1fr));gap:1rem;
margin:.75rem 0}
.pictures svg,.crops svg{display:block;width:100%;height:auto;border-radius:6px;
background:var(--tint)}
.crops svg{aspect-ratio:1}
.pictures figcaption,.crops figcaption{font-weight:400;font-size:.8125rem;line-height:1.4;
color:var(--soft);margin-top:.35rem}
.box rect{fill:none;vector-effect:non-scaling-stroke}
.box .edge{stroke:#101418;stroke-width:3.5;opacity:.75}
.hit .ink{stroke:#4be39a;stroke-width:1.5}
.wrong .ink{stroke:#ff6b3d;stroke-width:2}
.missed .ink{stroke:#fff;stroke-width:2;stroke-dasharray:5 3}
.truth .ink{stroke:#fff;stroke-width:1.2}
.box text{font-weight:600;paint-order:stroke;stroke:#101418;stroke-width:.22em;
stroke-linejoin:round}
.wrong text{fill:#ff8d66}
.missed text{fill:#fff}
.key{display:flex;flex-wrap:wrap;gap:.5rem 1.25rem;font-size:.9375rem;margin:1rem 0 0;border:0;
padding:0}
.key legend{padding:0;color:var(--soft);font-size:.8125rem}
.key label{display:inline-flex;align-items:center;gap:.4rem;cursor:pointer}
.key input{accent-color:var(--c0);width:1rem;height:1rem;margin:0}
.key svg{width:1.4rem;height:.95rem;background:#5b6570;border-radius:3px}
section:has(#show-hits:not(:checked)) .pictures .hit,
section:has(#show-wrong:not(:checked)) .pictures .wrong,
section:has(#show-missed:not(:checked)) .pictures .missed{display:none}
details{margin:.75rem 0}
summary{cursor:pointer;color:var(--link)}
.c0{stroke:var(--c0);fill:var(--c0);border-color:var(--c0)}
.c1{stroke:var(--c1);fill:var(--c1);border-color:var(--c1)}
.c2{stroke:var(--c2);fill:var(--c2);border-color:var(--c2)}
.c3{stroke:var(--c3);fill:var(--c3);border-color:var(--c3)}
.c4{stroke:var(--c4);fill:var(--c4);border-color:var(--c4)}
.c5{stroke:var(--c5);fill:var(--c5);border-color:var(--c5)}
.grey{stroke:var(--grey);fill:var(--grey);border-color:var(--grey)}
.line{fill:none}
.band{stroke:none}
.mark{stroke:var(--paper)}
.line.heavy{stroke:var(--ink)}
@media print{section{break-inside:auto}.pictures figure,.chart{break-inside:avoid}}
"""
