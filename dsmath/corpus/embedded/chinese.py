"""Chinese pages: mathematics as textbooks and pupils write it, worked problems, and news and shops."""

import random
from collections.abc import Callable
from fractions import Fraction
from math import comb, gcd, lcm

from dsmath.corpus.embedded.article import Article, fraction, matrix, polynomial, signed
from dsmath.corpus.embedded.facts.factors import factored, factors, primes
from dsmath.corpus.embedded.school import Chain, draw_chain, result, told, worked_lines

_NAMES = ("小明", "小红", "小华", "小丽", "小刚", "小芳", "小军", "小雨", "李老师", "王阿姨", "张伯伯", "小强")
_THINGS = ("苹果", "铅笔", "贴纸", "图书", "糖果", "橘子", "邮票", "气球", "卡片", "鸡蛋", "玻璃球", "练习本")


def _divisors(r: random.Random) -> list[str]:
    a, b = r.randint(12, 90), r.randint(12, 90)
    return [
        "定义:能同时整除两个整数的最大正整数称为它们的最大公约数。求最大公约数常用辗转相除法。",
        rf"例:求 ${a}$ 与 ${b}$ 的最大公约数和最小公倍数。解:由辗转相除法得 $\gcd({a}, {b}) = {gcd(a, b)}$,"
        rf"因此最小公倍数为 $\frac{{{a} \cdot {b}}}{{{gcd(a, b)}}} = {lcm(a, b)}$。",
    ]


def _congruence(r: random.Random) -> list[str]:
    p = r.choice(primes(7, 40))
    a, n = r.randint(2, p - 2), r.randint(p, 200)
    return [
        r"费马小定理:若 $p$ 是素数且 $p \nmid a$,则 $a^{p-1} \equiv 1 \pmod{p}$。证明:考虑 $a, 2a, \ldots, (p-1)a$ 模 $p$ 的余数,它们互不相同。",
        rf"例:求 ${a}^{{{n}}}$ 除以 ${p}$ 的余数。解:因为 ${a}^{{{p - 1}}} \equiv 1 \pmod{{{p}}}$,所以余数等于 ${pow(a, n, p)}$。",
    ]


def _quadratic(r: random.Random) -> list[str]:
    x, y = r.sample([n for n in range(-9, 10) if n], 2)
    f = [x * y, -x - y, 1]
    return [
        r"一元二次方程 $ax^2 + bx + c = 0$ 的判别式为 $b^2 - 4ac$。判别式大于零时方程有两个不相等的实数根。",
        f"例:解方程 ${polynomial(f)} = 0$。解:判别式等于 ${(x - y) ** 2}$,因式分解得 $({polynomial([-x, 1])})({polynomial([-y, 1])}) = 0$,"
        f"所以 $x_1 = {x}$,$x_2 = {y}$。由韦达定理检验:两根之和为 ${x + y}$,两根之积为 ${x * y}$。",
    ]


def _derivative(r: random.Random) -> list[str]:
    f, a = [r.randint(-5, 6), r.randint(-5, 6), r.randint(1, 5), r.choice((1, 2, -1))], r.randint(-2, 3)
    g = [k * c for k, c in enumerate(f)][1:]
    value, slope = (sum(c * a**k for k, c in enumerate(h)) for h in (f, g))
    return [
        r"函数 $f$ 在点 $a$ 处的导数定义为极限 $\lim_{h \to 0} \frac{f(a+h) - f(a)}{h}$,它表示曲线在该点切线的斜率。",
        f"例:设 $f(x) = {polynomial(f)}$,则 $f'(x) = {polynomial(g)}$。在 $x = {a}$ 处函数值为 ${value}$,切线斜率为 ${slope}$。",
    ]


def _integral(r: random.Random) -> list[str]:
    b, c, d = r.randint(1, 5), r.randint(1, 9), 3 * r.randint(1, 3)
    total = c * b + d // 3 * b**3
    return [
        r"牛顿-莱布尼茨公式:若 $F' = f$,则 $\int_{a}^{b} f(x) \, dx = F(b) - F(a)$。定积分表示曲线下方的面积。",
        rf"例:计算 $\int_{{0}}^{{{b}}} ({polynomial([c, 0, d])}) \, dx$。解:原函数为 ${polynomial([0, c, 0, d // 3])}$,代入上下限得 ${total}$。",
    ]


def _sequence(r: random.Random) -> list[str]:
    a, d, n = r.randint(1, 9), r.randint(2, 7), r.randint(8, 20)
    last = a + (n - 1) * d
    return [
        r"等差数列的通项公式为 $a_n = a_1 + (n-1)d$,前 $n$ 项和为 $S_n = \frac{n(a_1 + a_n)}{2}$。",
        f"例:已知等差数列的首项为 ${a}$,公差为 ${d}$,求第 ${n}$ 项及前 ${n}$ 项和。解:$a_{{{n}}} = {last}$,$S_{{{n}}} = {n * (a + last) // 2}$。",
    ]


def _probability(r: random.Random) -> list[str]:
    w, b = r.randint(3, 8), r.randint(3, 8)
    return [
        "古典概型:若试验的所有基本事件等可能,则事件的概率等于有利情形数与全部情形数之比。",
        rf"例:袋中有 ${w}$ 个白球和 ${b}$ 个黑球,从中任取两个,求两球颜色相同的概率。解:$\frac{{{comb(w, 2)} + {comb(b, 2)}}}{{{comb(w + b, 2)}}} = "
        f"{fraction(Fraction(comb(w, 2) + comb(b, 2), comb(w + b, 2)))}$。",
    ]


def _determinant(r: random.Random) -> list[str]:
    a, b, c, d = (r.randint(-5, 8) for _ in range(4))
    verdict = "可逆" if a * d - b * c else "不可逆"
    return [
        r"方阵 $A$ 可逆的充分必要条件是 $\det(A) \ne 0$。二阶行列式等于主对角线元素之积减去副对角线元素之积。",
        f"例:矩阵 ${matrix([[a, b], [c, d]])}$ 的行列式为 ${a * d - b * c}$,因此该矩阵{verdict}。",
    ]


def _triangle(r: random.Random) -> list[str]:
    a, b, c = r.choice(((3, 4, 5), (5, 12, 13), (8, 15, 17), (7, 24, 25), (20, 21, 29)))
    k = r.randint(1, 5)
    a, b, c = a * k, b * k, c * k
    return [
        "勾股定理:直角三角形两直角边的平方和等于斜边的平方。反之,满足这一关系的三角形是直角三角形。",
        f"例:两直角边长为 ${a}$ 和 ${b}$,求斜边与面积。解:${a}^2 + {b}^2 = {c}^2$,所以斜边为 ${c}$,面积为 ${a * b // 2}$。",
    ]


def _factorisation(r: random.Random) -> list[str]:
    n = r.choice([n for n in range(40, 600) if len(factors(n)) > 1])
    count = sum(n % d == 0 for d in range(1, n + 1))
    return [
        "算术基本定理:任何大于一的整数都能唯一地分解成素数的乘积(不计次序)。",
        f"例:分解 ${n}$。解:${n} = {factored(n)}$,它共有 ${count}$ 个正约数。",
    ]


def _vector(r: random.Random) -> list[str]:
    a, b, c, d = (r.choice((-5, -4, -3, -2, -1, 1, 2, 3, 4, 6)) for _ in range(4))
    return [
        r"两个向量的数量积等于对应坐标乘积之和;数量积为零当且仅当两向量垂直。",
        f"例:设 $u = ({a}, {b})$,$v = ({c}, {d})$,则数量积为 ${a * c} {signed(b * d)} = {a * c + b * d}$,"
        f"{'两向量垂直' if a * c + b * d == 0 else '两向量不垂直'}。又 $u + v = ({a + c}, {b + d})$。",
    ]


_TOPICS: tuple[tuple[str, Callable[[random.Random], list[str]]], ...] = (
    ("最大公约数与最小公倍数", _divisors), ("费马小定理", _congruence), ("一元二次方程", _quadratic), ("导数与切线", _derivative),
    ("定积分的计算", _integral), ("等差数列", _sequence), ("古典概型", _probability), ("行列式与逆矩阵", _determinant),
    ("勾股定理", _triangle), ("素因数分解", _factorisation), ("平面向量", _vector),
)  # fmt: skip
_OPENINGS = (
    "本节复习基本概念,并通过例题说明解题方法。", "下面先给出定义和定理,再看几个典型例题。", "同学们请先独立思考,再对照解答。",
    "这一部分是考试的重点,务必掌握证明的思路。", "本文整理了课堂笔记,供复习时参考。",
)  # fmt: skip
_CLOSINGS = (
    "证毕。读者可以换一组数据自己验算。",
    "思考:如果条件改变,结论还成立吗?",
    "小结:先判断条件,再选择公式,最后检验。",
    "练习:仿照上面的例题再做两题。",
)


def notes(r: random.Random) -> Article:
    """Lecture notes or encyclopedia text on some topics."""
    topics = r.sample(_TOPICS, 3)
    blocks = [r.choice(_OPENINGS)]
    for name, make in topics:
        first, *rest = make(r)
        blocks += [f"## {name}", first, *rest, *make(r)[1:]]
    title = f"{topics[0][0]}{r.choice(('讲义', '知识点与例题', '的解法', '复习提纲'))}"
    return Article(title, (*blocks, r.choice(_CLOSINGS)), mathematical=True, language="zh")


def _story(r: random.Random) -> tuple[str, Chain]:
    chain = draw_chain(r, r.choice((1, 2, 2, 3)), r.choice((20, 20, 40, 100)))
    name, thing = r.choice(_NAMES), r.choice(_THINGS)
    events = {
        "+": ("妈妈又给了{n}个", "后来又买来{n}个", "同学送来{n}个", "第二天增加了{n}个"),
        "-": ("送给弟弟{n}个", "用掉了{n}个", "卖出{n}个", "不小心丢了{n}个"),
        "*": ("第二周的数量是原来的{n}倍", "照这样一共装了{n}箱", "数量扩大到{n}倍"),
        "/": ("平均分给{n}个小组,看其中一组", "平均放进{n}个盒子,只看一盒", "每{n}个装一袋,数一数袋数"),
    }
    start = r.choice(("{name}有{n}个{thing}", "桌上放着{name}的{n}个{thing}", "{name}先数出{n}个{thing}")).format(
        name=name, n=chain[0], thing=thing
    )
    text = ",".join([start, *(sentence.format(n=n) for sentence, n in told(r, events, chain))])
    return f"{text}。{r.choice(('现在是多少?', '结果是多少?', '请列式计算。', '最后得到几?'))}", chain


def problems(r: random.Random) -> Article:
    """A page of worked word problems."""
    blocks = [
        r.choice(
            (
                "小学数学应用题及解答:",
                "每日一练,注意写清步骤。",
                "应用题专项练习(附答案)。",
                "老师布置的题目,大家一起讨论。",
            )
        )
    ]
    for number in range(1, r.randint(6, 10)):
        text, chain = _story(r)
        blocks += [f"## 第{number}题", text, r.choice(("解:", "列式:", "步骤如下:"))]
        blocks.append("\n".join([*worked_lines(chain), rf"\boxed{{{result(chain)}}}"]))
    return Article(
        f"{r.choice(('应用题', '作业帮助', '数学练习', '口算与应用'))}第{r.randint(1, 400)}期",
        tuple(blocks),
        mathematical=True,
        language="zh",
    )


_PLACES = ("北岭市", "东湖区", "青河县", "南山镇", "海滨新区", "云溪村", "长桥街道", "白塔乡")
_NEWS = (
    "{place}昨日举行春季招聘会,{n}家企业提供了{m}个岗位。", "气象部门预计未来三天{place}有小雨,气温在{n}度左右。",
    "记者从{place}交通部门获悉,新公交线路将于下月开通,全程{m}公里。", "{place}图书馆延长开放时间,每天接待读者约{m}人。",
    "在昨晚的比赛中,{place}队以{n}比{k}取胜,主教练对队员的表现表示满意。", "{place}的茶农迎来丰收,今年产量比去年增加了百分之{n}左右。",
    "当地居民表示,改造后的公园环境优美,适合老人散步。", "医生提醒市民注意饮食清淡,早睡早起,适当运动。",
    "{place}博物馆展出一批古代瓷器,吸引了不少游客前来参观。", "据介绍,这家餐馆已经营了{n}年,招牌菜是红烧鱼。",
    "活动现场气氛热烈,孩子们表演了舞蹈和合唱。", "有关部门负责人说,下一步将加强管理,方便群众办事。",
    "{place}的樱花进入盛开期,周末游客明显增多。", "演唱会门票上午开售,不到{n}分钟便告售罄。",
)  # fmt: skip
_SHOP = (
    "商品名称:{item},颜色{colour},现价{m}元,包邮。", "本店所有{item}支持七天无理由退货。", "买家评价:{item}质量很好,物流也快,会再来。",
    "满{m}元减{n}元,优惠券请在首页领取。", "尺寸请参考详情页图片,手工测量会有少许误差。", "库存{m}件,下单后{n}小时内发货。",
    "材质柔软,适合春秋季节穿着,可以机洗。", "客服在线时间为早上九点到晚上十点。", "{colour}款销量最高,建议尽早购买。", "新用户注册即送会员积分。",
)  # fmt: skip


def _fill(r: random.Random, sentences: tuple[str, ...], count: int, **words: str) -> str:
    return "".join(
        s.format(n=r.randint(3, 40), m=r.randint(41, 990), k=r.randint(0, 2), place=r.choice(_PLACES), **words)
        for s in r.sample(sentences, count)
    )


def news(r: random.Random) -> Article:
    """Local news in Chinese."""
    place = r.choice(_PLACES)
    title = f"{place}{r.choice(('春季招聘会举行', '新线路即将开通', '公园改造完成', '球队客场取胜', '文化周开幕', '天气提醒'))}"
    return Article(title, tuple(_fill(r, _NEWS, r.randint(3, 5)) for _ in range(r.randint(3, 5))), language="zh")


def shop(r: random.Random) -> Article:
    """A product page in Chinese."""
    words = {
        "item": r.choice(("连衣裙", "保温杯", "台灯", "运动鞋", "雨伞", "背包", "茶具", "毛毯", "耳机")),
        "colour": r.choice(("红色", "蓝色", "米色", "黑色", "浅灰")),
    }
    blocks = tuple(_fill(r, _SHOP, r.randint(3, 5), **words) for _ in range(r.randint(2, 4)))
    return Article(f"{words['colour']}{words['item']} 型号{r.randint(100, 999)}", blocks, language="zh")


# ruff: noqa: E501 - a sentence a line
